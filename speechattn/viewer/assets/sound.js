// Plays the pieces of a recording: any stretch, exact to the sample, again and again if asked to.
"use strict";
(function (V) {
  const KEPT = 4; // decoded pieces, 2 MB each
  const AHEAD = 1.5; // seconds of sound that are handed to the browser before they are heard

  V.Player = class {
    /** @param info what the page says about the sound; null for a page without. */
    constructor(info) {
      this.info = info;
      this.pieces = new Map(); // number → promise of samples
      this.ready = new Map(); // number → samples
      this.context = null;
      this.current = null; // what is being played
      this.time = 0; // where it stands while nothing is played
      this.speed = 1; // 0.5 is half as fast, at the same pitch
      this.listeners = [];
    }
    get playing() { return this.current !== null; }
    get duration() { return this.info ? this.info.samples / this.info.rate : 0; }

    /** Samples of a piece at 16 kHz from its own beginning on, and the time of the first. */
    async piece(number) {
      if (!this.pieces.has(number)) {
        this.pieces.set(number, this._decode(number));
        for (const old of [...this.pieces.keys()].slice(0, -KEPT)) {
          this.pieces.delete(old);
          this.ready.delete(old);
        }
      }
      return this.pieces.get(number);
    }
    async _decode(number) {
      const { name, rate, pieceSeconds, leadSeconds, tailSeconds, samples, delay } = this.info;
      await V.present(name + "-" + number);
      const decoder = new OfflineAudioContext(1, 1, rate);
      const buffer = await decoder.decodeAudioData(V.bytes(name + "-" + number).buffer);
      const decoded = buffer.getChannelData(0);
      const first = Math.max(0, Math.round((number * pieceSeconds - leadSeconds) * rate));
      const last = Math.min(samples, Math.round(((number + 1) * pieceSeconds + tailSeconds) * rate));
      // A decoder that does not know the encoder's delay gives that many samples too many.
      const late = decoded.length - (last - first) >= 0.8 * delay ? delay : 0;
      const found = { first, samples: decoded.subarray(late, late + last - first) };
      this.ready.set(number, found);
      return found;
    }
    /** A decoded piece at a time, or null; it is then decoded, and the function called. */
    at(time, whenReady) {
      if (!this.info) return null;
      const number = this.numberAt(time);
      const found = this.ready.get(number);
      if (!found) this.piece(number).then(whenReady, () => {});
      return found || null;
    }
    numberAt(time) {
      return V.clamp(Math.floor(time / this.info.pieceSeconds + 1e-9), 0, this.info.pieces - 1);
    }

    /** Where the sound is now, in seconds. */
    position() {
      const playing = this.current;
      if (!playing) return this.time;
      const late = this.context.outputLatency || 0;
      const now = this.context.currentTime - late;
      let found = playing.from;
      for (const part of playing.parts) {
        if (now >= part.when) found = part.time + Math.min((now - part.when) * part.speed, part.seconds);
      }
      return found;
    }
    /** Put the playhead somewhere; sound that is being played goes on from there. */
    seek(time) {
      this.time = V.clamp(time, 0, this.duration || time);
      if (this.playing) this.play(this.time, this.duration);
      else this._tell();
    }
    /** Play a stretch. `after` says where the playhead stands at its end: "start" or "end". */
    async play(from, to, { loop = false, after = "end" } = {}) {
      if (!this.info) return;
      this._silence();
      if (!this.context) {
        try {
          this.context = new AudioContext({ sampleRate: this.info.rate });
        } catch (error) {
          this.context = new AudioContext();
        }
      }
      to = Math.min(to, this.duration);
      const current = { from, to, loop, after, next: from, when: null, parts: [], sources: [] };
      this.current = current;
      this.time = from;
      this._tell();
      this.piece(this.numberAt(from)).catch(() => {}); // decoded while the device starts
      await this.context.resume();
      await this._schedule(current);
    }
    async _schedule(current) {
      while (this.current === current) {
        const now = this.context.currentTime;
        if (current.next >= current.to - 1e-6) {
          if (!current.loop || current.to - current.from < 0.005) break;
          current.next = current.from;
        }
        if (current.when !== null && current.when > now + AHEAD) {
          await new Promise((resolve) => setTimeout(resolve, 200));
          continue;
        }
        const number = this.numberAt(current.next);
        const { first, samples } = await this.piece(number);
        if (this.current !== current) return;
        const rate = this.info.rate;
        const last = number === this.info.pieces - 1;
        const end = last ? current.to : Math.min(current.to, (number + 1) * this.info.pieceSeconds);
        const begin = Math.round(current.next * rate) - first;
        const count = Math.max(1, Math.round(end * rate) - first - begin);
        const stretch = samples.subarray(begin, begin + count), { speed } = this;
        const heard = speed === 1 ? stretch : V.stretch(stretch, rate, speed);
        const buffer = this.context.createBuffer(1, heard.length, rate);
        buffer.copyToChannel(heard, 0);
        if (current.when === null) current.when = this.context.currentTime + 0.02;
        const source = this.context.createBufferSource();
        source.buffer = buffer;
        source.connect(this.context.destination);
        source.start(current.when);
        current.sources = [...current.sources.slice(-8), source];
        current.parts = [
          ...current.parts.slice(-8),
          { when: current.when, time: current.next, seconds: count / rate, speed },
        ];
        current.when += heard.length / rate;
        current.next = end;
      }
      while (this.current === current) {
        const rest = current.when - this.context.currentTime;
        if (rest <= 0) {
          this.current = null;
          this.time = current.after === "start" ? current.from : current.to;
          this._tell();
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, Math.min(rest * 1000 + 1, 100)));
      }
    }
    /** Change the speed; what is being played goes on, a phone or a selection from its start. */
    setSpeed(speed) {
      const { current } = this, at = this.position();
      this.speed = speed;
      if (current) this.play(current.after === "start" ? current.from : at, current.to, current);
    }
    pause() {
      if (!this.playing) return;
      this.time = this.position();
      this._silence();
      this._tell();
    }
    _silence() {
      if (!this.current) return;
      for (const source of this.current.sources) {
        try { source.stop(); } catch (error) { /* it has not been started */ }
        source.disconnect();
      }
      this.current = null;
    }
    _tell() { for (const listener of this.listeners) listener(); }
  };
})(window.Viewer);
