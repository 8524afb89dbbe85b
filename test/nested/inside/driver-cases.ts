/** The table's part below the SDK as it runs in the nested machine, on the driver that PYRO_MACHINE names. */
import { after, before, test } from "node:test";
import { driverCases } from "../../support/driver-cases.ts";
import { CASE_LIMIT, observed } from "./slow-case.ts";
import { DriverHost, driverOfEnvironment } from "../../support/driver-host.ts";

const machine = driverOfEnvironment();

let host: DriverHost;
before(async () => void (host = await DriverHost.open(machine, 256)));
after(() => host.close());

for (const { name, run } of driverCases(machine)) {
  test(name, CASE_LIMIT, async () => await observed(async () => await run(host)));
}
