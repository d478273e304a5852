/** The little of the package that ffi.ts uses; its own declarations need packages that are not there. */
export interface Library {
  /** A pointer to the symbol. */
  get(symbol: string): Buffer;
}

declare const ffi: {
  readonly DynamicLibrary: {
    new (path: string, mode: number): Library;
    readonly FLAGS: { readonly RTLD_NOW: number };
  };
  /** A description of a function's result and parameters. */
  readonly CIF: (result: string, parameters: readonly string[]) => Buffer;
};
export default ffi;
