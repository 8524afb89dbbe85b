/** The table's part below the SDK, on the machine that every host has. */
import { after, before, test } from "node:test";
import { driverCases } from "../support/driver-cases.ts";
import { DriverHost } from "../support/driver-host.ts";

const MACHINE = "qemu-tcg";

let host: DriverHost;
before(async () => void (host = await DriverHost.open(MACHINE, 256)));
after(() => host.close());

for (const { name, run } of driverCases(MACHINE)) {
  test(`driver: ${name}`, async () => await run(host));
}
