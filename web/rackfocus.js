// The pack's script in the page: which node has which view, and what all have.
import { apertureView } from "./view/aperture.js";
import { filmView } from "./view/film.js";
import { focusView } from "./view/focus.js";
import { register } from "./view/host.js";
import { photoView } from "./view/photo.js";
import { rackView } from "./view/rack.js";
import { showWhatActs } from "./view/shown.js";
import { tabsView } from "./view/tabs.js";
import { wipeView } from "./view/wipe.js";

const VIEWS = {
  RefocusPhoto: photoView,
  RefocusLens: focusView,
  RefocusRack: rackView,
  ApertureShapeMask: apertureView,
  BokehSynthesize: wipeView,
  DeblurAiF: wipeView,
  FocalStackGenerate: filmView,
  SelectFocusFrame: filmView,
  StackFuse: tabsView,
};

register(VIEWS, showWhatActs);
