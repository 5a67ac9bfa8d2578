"""The MODEL of any FLUX.1 loader with further token branches: the native path of the engines on FLUX."""
