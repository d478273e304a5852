/** The little of the package that ffi.ts uses. */
declare const ref: {
  /** User space addresses have 47 bits: a number holds them. */
  readonly address: (memory: Buffer) => number;
};
export default ref;
