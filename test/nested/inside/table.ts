/** The table of cases as it runs in the nested machine: one process, on the machine that PYRO_MACHINE names. */
import { registerGuestTable } from "../../support/guest-table.ts";

/** The nested machine has 4 GiB for itself, a few guests and what they were restored from. */
registerGuestTable({ memoryMib: 512 });
