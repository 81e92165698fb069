import { provide } from "../src/lazy";
import { bundle as live } from "../src/live";
import { bundle as more } from "../src/more/index";

/** The other bundles, as modules: what an entry says in a page. */
provide({ more: async () => more, live: async () => live });
