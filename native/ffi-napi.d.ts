/** The little of the FFI packages that ffi.ts uses; their own declarations need packages that are not there. */
declare module 'ffi-napi' {
  export interface Library {
    /** A pointer to the symbol. */
    get(symbol: string): Buffer;
  }

  const ffi: {
    readonly DynamicLibrary: {
      new (path: string, mode: number): Library;
      readonly FLAGS: { readonly RTLD_NOW: number };
    };
    /** A description of a function's result and parameters. */
    readonly CIF: (result: string, parameters: readonly string[]) => Buffer;
  };
  export default ffi;
}

declare module 'ffi-napi/lib/bindings.js' {
  const bindings: {
    /** `values` holds pointers to the arguments. */
    readonly ffi_call: (cif: Buffer, pointer: Buffer, result: Buffer, values: Buffer) => void;
    readonly ffi_call_async: (
      cif: Buffer,
      pointer: Buffer,
      result: Buffer,
      values: Buffer,
      done: (error: unknown) => void,
    ) => void;
  };
  export default bindings;
}

declare module 'ref-napi' {
  const ref: {
    /** User space addresses have 47 bits: a number holds them. */
    readonly address: (memory: Buffer) => number;
  };
  export default ref;
}
