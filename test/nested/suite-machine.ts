/** The one nested machine of a run of the suite's stage, for all its test files. */
import { after } from "node:test";
import { bootSharedMachine, type SharedMachine } from "./shared-machine.ts";

let booting: Promise<SharedMachine> | undefined;

after(async () => {
  // One that did not boot has failed the tests that wanted it.
  const shared = await booting?.catch(() => undefined);
  await shared?.close();
});

/** The machine, booted for the first test that asks. */
export async function suiteMachine(): Promise<SharedMachine> {
  booting ??= bootSharedMachine((line) => void process.stdout.write(`[nested] ${line}\n`));
  return await booting;
}
