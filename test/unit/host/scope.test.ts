import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Scope } from "../../../src/host/scope.ts";

test("scope: every release runs, in reverse order, whichever of them fail, and all failures are told", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 12 }), async (failing) => {
      const scope = new Scope();
      const released: number[] = [];
      for (const [index, fails] of failing.entries()) {
        scope.defer(async () => {
          await Promise.resolve();
          released.push(index);
          if (fails) throw new Error(String(index));
        });
      }
      const failure = await scope.close().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.deepEqual(released, [...failing.keys()].toReversed());
      const expected = released.filter((index) => failing[index]).map(String);
      const told = failure instanceof AggregateError ? failure.errors : failure === undefined ? [] : [failure];
      assert.deepEqual(
        told.map((each: Error) => each.message),
        expected,
      );
    }),
  );
});

test("scope: whoever closes it a second time waits for the same end", async () => {
  const scope = new Scope();
  let open: () => void = () => undefined;
  let released = 0;
  scope.defer(async () => {
    await new Promise<void>((resolve) => (open = resolve));
    released += 1;
  });
  const first = scope.close();
  const second = scope.close().then(() => assert.equal(released, 1));
  open();
  await Promise.all([first, second]);
  await scope.close();
  assert.equal(released, 1);
});

test("scope: what was handed over is not released, and nothing can be added to a closed one", async () => {
  const kept = new Scope();
  kept.defer(() => assert.fail("it belongs to somebody else"));
  kept.keep();
  await kept.close();
  assert.throws(() => kept.defer(() => undefined), { code: "internal" });
});

test("scope: leaving the block by an error releases too, and the error comes through", async () => {
  let released = false;
  const leave = async (): Promise<void> => {
    await using scope = new Scope();
    scope.defer(() => void (released = true));
    throw new Error("out");
  };
  await assert.rejects(leave(), /out/);
  assert.ok(released);
});
