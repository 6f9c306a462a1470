// Draws the text of a curve, "0:1, 0.5:0.3, 1:0": points over the steps, each to be dragged or moved by arrow keys.

(function() {
    const here = window.ipAdapter;
    const WIDTH = 400, HEIGHT = 120, EDGE = 12;
    const NEAR = 0.02;
    const CHANGES = {ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05]};

    const round = number => Math.round(number * 100) / 100;
    const {within} = here;

    // null for a text in another notation, or one that the server refuses: that is left to whoever wrote it.
    function read(text) {
        const points = text.trim() ? text.split(",").map(part => part.split(":").map(one => here.number(one))) : [];
        const good = points.every(([at, ...weights], i) => weights.length === 1 && Number.isFinite(weights[0])
            && (points[i - 1]?.[0] ?? 0) <= at && at <= 1);
        return good ? points : null;
    }

    const written = points => points.map(([at, weight]) => `${at}:${weight}`).join(", ");

    const withEnds = points => [[0, points[0][1]], ...points, [1, points[points.length - 1][1]]];

    class Curve {
        constructor(field, box) {
            this.box = box;
            this.drawing = here.make("svg:svg", {
                viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "ip-adapter-curve", role: "group",
                "aria-label": here.translated("Weight over the steps; double-click adds a point, Delete removes one"),
            });
            const label = here.translated("Add a point");
            this.button = here.make("button", {type: "button", class: "ip-adapter-small"}, label);
            this.button.addEventListener("click", () => this.addInGap());
            box.closest("label, .block").after(this.drawing, this.button);
            box.addEventListener("input", () => this.draw());
            this.drawing.addEventListener("dblclick", event => this.addAt(event));
            this.drawing.addEventListener("pointerdown", event => this.grab(event));
            this.drawing.addEventListener("keydown", event => this.press(event));
            this.draw();
        }

        // From which weight to which it is drawn. While a point is dragged that stays, or it would flee the pointer.
        get bottom() {
            return this.held?.[0] ?? Math.min(0, ...this.weights);
        }

        get top() {
            return this.held?.[1] ?? Math.max(1, ...this.weights);
        }

        get weights() {
            return (this.points ?? []).map(point => point[1]);
        }

        x = at => EDGE + at * (WIDTH - 2 * EDGE);
        y = weight => HEIGHT - EDGE - (weight - this.bottom) / (this.top - this.bottom) * (HEIGHT - 2 * EDGE);

        // Where a pointer is, as (step, weight). On the drawing's edge it is at the end of what is drawn, so that 0 and 1
        // are easily met; above and below the drawing it goes on.
        place(event) {
            const box = this.drawing.getBoundingClientRect();
            const x = (event.clientX - box.left) / box.width * WIDTH, y = (event.clientY - box.top) / box.height * HEIGHT;
            const beyond = y < 0 ? y : Math.max(y - HEIGHT, 0), height = within(y, EDGE, HEIGHT - EDGE) + beyond;
            const weight = (HEIGHT - EDGE - height) / (HEIGHT - 2 * EDGE) * (this.top - this.bottom) + this.bottom;
            return [within((x - EDGE) / (WIDTH - 2 * EDGE), 0, 1), within(weight, -here.limit, here.limit)];
        }

        draw() {
            const focused = [...this.drawing.children].indexOf(document.activeElement);
            this.seen = this.box.value;
            this.points = read(this.seen);
            this.drawing.classList.toggle("ip-adapter-foreign", this.points === null);
            const zero = {x1: 0, x2: WIDTH, y1: this.y(0), y2: this.y(0), class: "ip-adapter-axis"};
            const parts = [here.make("svg:line", zero), ...this.points ? [this.line()] : []];
            this.button.disabled = this.points === null;
            this.button.title = this.points ? "" : here.translated("Written by hand; empty the text to draw");
            this.drawing.replaceChildren(...parts, ...(this.points ?? []).map((point, i) => this.dot(point, i)));
            this.drawing.children[focused]?.focus();
        }

        line() {
            const ends = withEnds(this.points.length ? this.points : [[0, 1]]);
            return here.make("svg:polyline", {points: ends.map(([at, weight]) => `${this.x(at)},${this.y(weight)}`).join(" ")});
        }

        dot([at, weight], i) {
            const text = `${round(at)}: ${round(weight)}`;
            return here.make("svg:circle", {
                cx: this.x(at), cy: this.y(weight), r: 7, tabindex: 0, role: "slider", "data-point": i,
                "aria-label": `${i + 1}`, "aria-valuetext": text, "aria-valuenow": round(weight),
                "aria-valuemin": -here.limit, "aria-valuemax": here.limit,
            }, here.make("svg:title", {}, text));
        }

        change(points) {
            here.write(this.box, written(points));
            this.draw();
        }

        move(i, [at, weight]) {
            const points = this.points.map(point => [...point]);
            const low = points[i - 1]?.[0] ?? 0, high = points[i + 1]?.[0] ?? 1;
            points[i] = [within(round(at), low, high), round(weight)];
            this.change(points);
        }

        add([at, weight]) {
            if (this.points === null) return;
            const points = this.points.length ? this.points : [[0, 1], [1, 1]];
            this.change([...points, [round(at), round(weight)]].sort((a, b) => a[0] - b[0]));
        }

        // Two clicks on a point are two grips, and none wanted another one there.
        addAt(event) {
            if (event.target.dataset.point === undefined) this.add(this.place(event));
        }

        addInGap() {
            const points = this.points.length ? this.points : [[0, 1], [1, 1]];
            const ends = withEnds(points);
            const gaps = ends.slice(1).map((end, i) => [end[0] - ends[i][0], i]);
            const [, i] = gaps.reduce((a, b) => b[0] > a[0] + NEAR ? b : a);
            this.add([(ends[i][0] + ends[i + 1][0]) / 2, (ends[i][1] + ends[i + 1][1]) / 2]);
        }

        grab(event) {
            const i = Number(event.target.dataset.point ?? NaN);
            if (Number.isNaN(i) || event.button !== 0) return;
            event.preventDefault();
            event.target.focus();
            this.drawing.setPointerCapture(event.pointerId);
            this.held = [this.bottom, this.top];
            here.hold(this.drawing, event, moved => this.move(i, this.place(moved)), () => {
                this.held = null;
                this.draw();
            });
        }

        press(event) {
            const i = Number(event.target.dataset.point ?? NaN), change = CHANGES[event.key];
            if (Number.isNaN(i) || !(change || ["Delete", "Backspace"].includes(event.key))) return;
            event.preventDefault();
            if (change) {
                const [at, weight] = this.points[i];
                this.move(i, [at + change[0], within(weight + change[1], -here.limit, here.limit)]);
            } else {
                this.change(this.points.filter((_, other) => other !== i));
            }
        }
    }

    here.editor("_curve", Curve);
})();
