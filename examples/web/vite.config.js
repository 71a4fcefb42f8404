import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

// No file becomes a `data:` URL: server.js lets the page load its own files only.
export default defineConfig({ plugins: [vue()], build: { assetsInlineLimit: 0 } });
