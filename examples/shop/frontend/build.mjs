// Compiles src/ into ../shop/static/dist with hashed names, and writes the manifest that templates read.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const OUTPUT = "../shop/static/dist";

await rm(OUTPUT, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ["src/shop.js"],
  outdir: OUTPUT,
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "file" },
  bundle: true,
  minify: true,
  metafile: true,
  target: "es2020",
  logLevel: "info",
});

const manifest = {};
for (const [path, output] of Object.entries(metafile.outputs)) {
  if (output.entryPoint) {
    manifest["shop.js"] = basename(path);
    manifest["shop.css"] = basename(output.cssBundle);
  }
}
await mkdir(OUTPUT, { recursive: true });
await writeFile(`${OUTPUT}/manifest.json`, JSON.stringify(manifest, null, 2) + "\n");
