/** All of the machine layer that talks with guests: what a server loads when it starts its first machine. */
export { makeSeed, sproutVolume } from "./guest-seed.ts";
export { openGuestLink } from "../guest/link.ts";
export { startExec } from "./exec.ts";
export { leftCommands } from "./left-commands.ts";
export { guestVolume, stateOfVolume } from "./guest-volume.ts";
export { keptExec } from "./kept-exec.ts";
export { configureGuest, prepareTemplate } from "./guest-setup.ts";
