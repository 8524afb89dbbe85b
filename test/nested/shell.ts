/** `npm run test:nested -- --shell COMMAND`: one command in a nested machine of its own, with its output as it comes. */
import { bootSharedMachine } from "./shared-machine.ts";

const TIME_LIMIT_MS = 3_600_000;

const [command = "uname -a"] = process.argv.slice(2);
const shared = await bootSharedMachine((line) => process.stderr.write(`[nested] ${line}\n`));
try {
  const outcome = await shared.machine.exec({
    command,
    cwd: "/payload",
    timeLimitMs: TIME_LIMIT_MS,
    onOutput: (stream, data) => void process[stream].write(data),
  });
  process.exitCode = outcome.exitCode;
} finally {
  await shared.close();
}
