/** The table of cases on the host's own machine: QEMU, with KVM where it works, otherwise emulated. */
import { registerGuestTable } from "../support/guest-table.ts";

registerGuestTable();
