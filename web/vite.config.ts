import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { basename, join, resolve } from "node:path"
import { defineConfig, type Plugin } from "vite"

const OUT = "../src/trocar/serve/web"
const SOURCES = ["index.html", "licences", "package-lock.json", "package.json", "src", "tsconfig.json", "vite.config.ts"]

const filesOf = (path: string): string[] =>
  statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => filesOf(join(path, name))) : [path]

/** Says in the build of which sources it was made; tests/web compares that with the sources. */
function builtFrom(): Plugin {
  let out = OUT
  return {
    name: "built-from",
    configResolved(config) { out = config.build.outDir },
    closeBundle() {
      const hash = createHash("sha256")
      for (const file of SOURCES.flatMap(filesOf).sort()) hash.update(`${file}\n`).update(readFileSync(file)).update("\n")
      writeFileSync(join(out, "built-from.txt"), `${hash.digest("hex")}\n`)
    },
  }
}

/** The licences of what is built in, as they ask for. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_, bundle) {
      const modules = Object.values(bundle).flatMap((part) => (part.type === "chunk" ? part.moduleIds : []))
      const folders = new Set(modules.map((id) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? "").filter(Boolean))
      const texts = [...folders].sort().map((folder) => {
        const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"))
        const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one))
        // Where a package goes without the text of its licence, it was taken from its repository.
        const text = readFileSync(file ? join(folder, file) : `licences/${basename(folder)}.txt`, "utf-8")
        return `${name} ${version} (${license})\n\n${text.trim()}\n`
      })
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) })
    },
  }
}

export default defineConfig({
  build: { outDir: OUT, emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 1500 },
  plugins: [licences(), builtFrom()],
  // NiiVue also reads zarr; the page does not, and goes without its codecs.
  resolve: { alias: [{ find: /^numcodecs\/(blosc|lz4|zstd)$/, replacement: resolve("src/no-codec.ts") }] },
  server: { proxy: { "/api": "http://127.0.0.1:8017" } },
})
