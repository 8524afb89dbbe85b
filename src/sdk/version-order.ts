/**
 * Whether version `left` comes before `right` (semver.org, 11): numbers part by part, a pre-release before its release.
 * Builds of one version have no order.
 */
export function isOlder(left: string, right: string): boolean {
  const [leftNumbers, leftPre] = parts(left);
  const [rightNumbers, rightPre] = parts(right);
  for (let index = 0; index < 3; index += 1) {
    const difference = (leftNumbers[index] ?? 0) - (rightNumbers[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  if (leftPre === rightPre) return false;
  if (leftPre === "" || rightPre === "") return rightPre === "";
  return leftPre.localeCompare(rightPre, "en", { numeric: true }) < 0;
}

function parts(version: string): [number[], string] {
  const [withoutBuild = ""] = version.split("+");
  const [core = "", ...pre] = withoutBuild.split("-");
  return [core.split(".").map((part) => Number.parseInt(part, 10) || 0), pre.join("-")];
}
