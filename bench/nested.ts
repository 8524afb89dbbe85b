/** `npm run bench -- --nested`: Firecracker's figures, measured in the nested machine (CONTRIBUTING.md), where KVM works. */
import { bootSharedMachine } from "../test/nested/shared-machine.ts";
import { INSIDE } from "../test/nested/places.ts";
import type { Measurement } from "./figures.ts";
import { report } from "./report.ts";

const PROGRAM = ".build/bench/inside/main.js";
const TIME_LIMIT_MS = 900_000;

const say = (line: string): void => void process.stderr.write(`[nested] ${line}\n`);
const shared = await bootSharedMachine(say);
try {
  const answer: Buffer[] = [];
  const { exitCode } = await shared.machine.exec({
    command: ["node", "--enable-source-maps", "--disable-warning=ExperimentalWarning", PROGRAM],
    cwd: INSIDE.payload,
    timeLimitMs: TIME_LIMIT_MS,
    onOutput: (stream, data) => {
      if (stream === "stdout") answer.push(Buffer.from(data));
      else process.stderr.write(data);
    },
  });
  if (exitCode !== 0) throw new Error(`the bench inside the nested machine ended with ${exitCode}`);
  const text = Buffer.concat(answer).toString();
  const { vmm, measurements } = JSON.parse(text) as { vmm: string; measurements: Measurement[] };
  report(measurements, `${vmm}, in the nested machine`);
} finally {
  await shared.close();
}
