// The pack's script in the page: which node has which view.
import { focusView } from "./view/focus.js";
import { register } from "./view/host.js";

const VIEWS = { RefocusLens: focusView };

register(VIEWS, () => {});
