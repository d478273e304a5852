/** The package's calls into C, below its marshalling. */
declare const bindings: {
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
