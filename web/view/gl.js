// A few words over WebGL2: passes that each fill one target by a fragment shader, and textures of packed numbers.

const VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;
const HEAD = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
`;

/** The context of a canvas, or null where the browser has no WebGL2. */
export function webgl2(canvas) {
  return canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true });
}

/** Whether it is drawn on the CPU. */
export function isSoftware(gl) {
  const told = gl.getExtension("WEBGL_debug_renderer_info");
  return /swiftshader|llvmpipe|software|basic render/i.test(told ? gl.getParameter(told.UNMASKED_RENDERER_WEBGL) : "");
}

/** Wait until all is done that was asked for; `finish` of WebGL does not, where a browser draws in another process. */
export function waitFor(gl) {
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
}

/** A fragment shader over a whole target. */
export class Pass {
  constructor(gl, source) {
    this.gl = gl;
    this.program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, HEAD + source]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
      gl.deleteShader(shader);
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost()) {
      const logs = gl.getAttachedShaders(this.program).map((s) => gl.getShaderInfoLog(s));
      throw new Error([gl.getProgramInfoLog(this.program), ...logs].filter(Boolean).join("\n"));
    }
    this.places = new Map();
  }

  /**
   * target: a Texture, or null for the canvas. uniforms: {name: Texture, number, or array of 1 to 4 or more}.
   * part: [from, to] of its height, 0..1 from GL's row 0, to draw no more than that.
   */
  draw(target, uniforms, part = null) {
    const { gl } = this;
    gl.useProgram(this.program);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target ? target.framebuffer() : null);
    const width = target?.width ?? gl.drawingBufferWidth, height = target?.height ?? gl.drawingBufferHeight;
    gl.viewport(0, 0, width, height);
    if (part) {
      const [from, to] = part.map((v) => Math.round(v * height));
      gl.enable(gl.SCISSOR_TEST);
      gl.scissor(0, from, width, to - from);
    }
    let unit = 0;
    for (const [name, value] of Object.entries(uniforms)) {
      if (!this.places.has(name)) this.places.set(name, gl.getUniformLocation(this.program, name));
      const place = this.places.get(name);
      if (value instanceof Texture) {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(gl.TEXTURE_2D, value.texture);
        gl.uniform1i(place, unit++);
      } else if (value instanceof Float32Array) gl.uniform4fv(place, value);
      else if (Array.isArray(value)) gl[`uniform${value.length}f`](place, ...value);
      else if (value !== undefined) gl.uniform1f(place, value);
    }
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    if (part) gl.disable(gl.SCISSOR_TEST);
  }
}

/** kind: "rgba8", "float" (one number, only read) or "packed" (four 32-bit words, of which shaders make halves). */
export class Texture {
  constructor(gl, kind, width, height, data = null) {
    Object.assign(this, { gl, kind, width, height });
    const [inside, form, type] = {
      rgba8: [gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE],
      float: [gl.R32F, gl.RED, gl.FLOAT],
      packed: [gl.RGBA32UI, gl.RGBA_INTEGER, gl.UNSIGNED_INT],
    }[kind];
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    if (data && !ArrayBuffer.isView(data)) gl.texImage2D(gl.TEXTURE_2D, 0, inside, form, type, data);
    else gl.texImage2D(gl.TEXTURE_2D, 0, inside, width, height, 0, form, type, data);
  }

  framebuffer() {
    const { gl } = this;
    if (!this.frame) {
      this.frame = gl.createFramebuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
    }
    return this.frame;
  }

  delete() {
    if (this.frame) this.gl.deleteFramebuffer(this.frame);
    this.gl.deleteTexture(this.texture);
  }
}
