/** Put in by the build (scripts/build/bundles.mjs) from package.json; absent when the sources run unbundled. */
declare const __PYRO_VERSION__: string | undefined;

/** Version of this pyro; a client and its server must agree on it. */
export const VERSION: string = typeof __PYRO_VERSION__ === "string" ? __PYRO_VERSION__ : "0.0.0-source";
