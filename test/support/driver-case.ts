/** A case that must hold of every driver. */
import type { DriverHost } from "./driver-host.ts";

export interface DriverCase {
  readonly name: string;
  readonly run: (host: DriverHost) => Promise<void>;
}
