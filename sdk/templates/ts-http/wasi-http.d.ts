// The resources of WASI's HTTP, as classes: https://github.com/WebAssembly/wasi-http
declare module 'wasi:http/types@0.2.12' {
  export const Fields: any;
  export const OutgoingBody: any;
  export const OutgoingResponse: any;
  export const ResponseOutparam: any;
}
