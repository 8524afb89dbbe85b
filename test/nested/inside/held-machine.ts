/** A machine that whoever starts this program may look at: on the driver that PYRO_MACHINE names, until standard input ends. */
import { DriverHost, driverOfEnvironment } from "../../support/driver-host.ts";

const host = await DriverHost.open(driverOfEnvironment(), 256);
try {
  const machine = await host.start();
  const held = { directory: host.directoryOf(machine.id), cache: host.paths.cache, confinement: host.kind.confinement };
  process.stdout.write(`${JSON.stringify(held)}\n`);
  await new Promise<void>((resolve) => void process.stdin.once("end", resolve).resume());
  await machine.scope.close();
} finally {
  host.close();
}
