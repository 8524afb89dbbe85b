/** Put in by the build (scripts/build/bundles.mjs) from package.json; absent when the sources run unbundled. */
declare const __PYRO_VERSION__: string | undefined;
/** Put in by the build: a digest of all that the bundles are made of. */
declare const __PYRO_BUILD__: string | undefined;

/** Version of this pyro. */
export const VERSION: string = typeof __PYRO_VERSION__ === "string" ? __PYRO_VERSION__ : "0.0.0-source";

/**
 * Version and build, in the form of semver (build metadata, 2.0.0 section 10): a client and its server must agree on it.
 * The version alone would let the client of a new build talk to a server of the old one, which is still running.
 */
export const BUILD_VERSION: string = typeof __PYRO_BUILD__ === "string" ? `${VERSION}+${__PYRO_BUILD__}` : VERSION;
