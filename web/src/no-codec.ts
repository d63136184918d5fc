// Stands in for the codecs of zarr files, which the page never opens.

export default {
  fromConfig(): never { throw new Error("zarr files are not read by this page: save the volume as NIfTI") },
}
