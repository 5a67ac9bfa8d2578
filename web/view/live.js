// The live lens.

export class LiveLens {
  constructor(canvas) {
    this.canvas = canvas;
    this.why = "not here yet";
  }
}
