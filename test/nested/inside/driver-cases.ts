/** The table's part below the SDK as it runs in the nested machine, on the driver that PYRO_MACHINE names. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MACHINE_NAMES } from "../../../src/contract/run.ts";
import { driverCases } from "../../support/driver-cases.ts";
import { DriverHost } from "../../support/driver-host.ts";

const machine = MACHINE_NAMES.find((name) => name === process.env["PYRO_MACHINE"]) ?? assert.fail("no PYRO_MACHINE");

let host: DriverHost;
before(async () => void (host = await DriverHost.open(machine, 256)));
after(() => host.close());

for (const { name, run } of driverCases(machine)) {
  test(name, async () => await run(host));
}
