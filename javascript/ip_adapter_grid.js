// Shows the text of a grid, "1, 1, 0.5; 0, 0, 1", as cells to paint: a row for each part of the layers, a column of the steps.

(function() {
    const here = window.ipAdapter;
    const FIRST = {rows: 8, columns: 8};
    const MOST = {rows: 70, columns: 50};
    const WIPE = 10;  // pixels to the side that a finger goes before it paints: up and down it moves the page
    const MOVES = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};

    // null for a text that the server refuses, or with rows of several lengths.
    function read(text) {
        if (!text.trim()) return [];
        const rows = text.trim().replace(/;$/, "").split(";")
            .map(row => row.trim().split(/\s*,\s*|\s+/).map(part => here.number(part)));
        return rows.every(row => row.length === rows[0].length && row.every(Number.isFinite)) ? rows : null;
    }

    const written = rows => rows.every(row => row.every(weight => weight === 1))
        ? "" : rows.map(row => row.join(", ")).join("; ");

    // Stretched to other numbers of rows and columns, each cell taking the nearest one's weight.
    function stretched(rows, {rows: high, columns: wide}) {
        const nearest = (list, i, count) => list[Math.floor((i + 0.5) * list.length / count)];
        return Array.from({length: high}, (_, i) => {
            const row = nearest(rows, i, high);
            return Array.from({length: wide}, (_, j) => nearest(row, j, wide));
        });
    }

    class Grid {
        constructor(field, box) {
            this.box = box;
            this.size = {...FIRST};
            this.at = [0, 0];
            this.tools = here.make("div", {class: "ip-adapter-tools"});
            this.brush = this.number("Weight to paint", {value: 0, min: -1, max: 2, step: 0.1});
            this.inputs = {};
            for (const [name, label] of [["rows", "Rows of layers"], ["columns", "Parts of the steps"]]) {
                const input = this.number(label, {value: FIRST[name], min: 1, max: MOST[name], step: 1});
                input.addEventListener("change", () => this.resize(name, input));
                this.inputs[name] = input;
            }
            const label = here.translated("Weights: layers down, steps to the right. Arrow keys move, Enter paints, + and - change");
            this.cells = here.make("div", {class: "ip-adapter-grid", role: "grid", "aria-label": label});
            box.closest("label, .block").after(this.tools, this.cells);
            box.addEventListener("input", () => this.draw());
            this.cells.addEventListener("pointerdown", event => this.grab(event));
            this.cells.addEventListener("keydown", event => this.press(event));
            this.draw();
        }

        number(label, attributes) {
            const input = here.make("input", {type: "number", ...attributes});
            this.tools.append(here.make("label", {}, here.translated(label), input));
            return input;
        }

        resize(name, input) {
            if (this.foreign) return this.draw();
            this.size[name] = Math.min(Math.max(Math.round(Number(input.value)) || 1, 1), MOST[name]);
            this.rows = stretched(this.rows ?? [[1]], this.size);
            this.change();
        }

        change() {
            here.write(this.box, written(this.rows));
            this.draw();
        }

        draw() {
            this.seen = this.box.value;
            const rows = read(this.seen);
            this.cells.classList.toggle("ip-adapter-foreign", rows === null);
            if (rows?.length) this.size = {rows: rows.length, columns: rows[0].length};
            this.rows = rows?.length ? rows : stretched([[1]], this.size);
            this.at = [Math.min(this.at[0], this.size.rows - 1), Math.min(this.at[1], this.size.columns - 1)];
            this.inputs.rows.value = this.size.rows;
            this.inputs.columns.value = this.size.columns;
            this.foreign = rows === null;
            this.cells.style.setProperty("--rows", this.size.rows);
            const focused = this.cells.contains(document.activeElement);
            this.cells.replaceChildren(...this.rows.map((row, i) => here.make(
                "div", {role: "row"}, ...row.map((weight, j) => this.cell(weight, i, j)))));
            if (focused) this.cellAt(...this.at).focus();
        }

        cell(weight, i, j) {
            const isCurrent = i === this.at[0] && j === this.at[1];
            const cell = here.make("div", {
                role: "gridcell", tabindex: isCurrent ? 0 : -1, "data-row": i, "data-column": j, title: String(weight),
                "aria-label": `${i + 1}, ${j + 1}: ${weight}`, class: weight < 0 ? "ip-adapter-below" : "",
            });
            cell.style.setProperty("--weight", Math.min(Math.abs(weight), 1));
            return cell;
        }

        cellAt(i, j) {
            return this.cells.children[i].children[j];
        }

        paint(cell, weight) {
            const {row, column} = cell.dataset;
            const possible = here.within(weight, -here.limit, here.limit);
            if (row === undefined || this.foreign || this.rows[row][column] === possible) return;
            this.rows[row][column] = possible;
            this.change();
        }

        grab(event) {
            if (event.target.dataset.row === undefined || event.button !== 0) return;
            event.preventDefault();
            const under = moved => document.elementFromPoint(moved.clientX, moved.clientY);
            const paint = moved => {
                const cell = under(moved);
                if (!this.cells.contains(cell) || cell.dataset.row === undefined) return;
                this.at = [Number(cell.dataset.row), Number(cell.dataset.column)];
                this.paint(cell, Number(this.brush.value));
            };
            let isPainting = event.pointerType !== "touch";
            if (isPainting) paint(event);
            here.hold(window, event, moved => {
                if (!isPainting && Math.abs(moved.clientX - event.clientX) > WIPE) {
                    isPainting = true;
                    paint(event);
                }
                if (isPainting) paint(moved);
            }, ended => {
                if (!isPainting && ended.type === "pointerup") paint(event);
            });
        }

        press(event) {
            const move = MOVES[event.key], [i, j] = this.at;
            const weight = this.rows[i][j], step = {"+": 0.1, "-": -0.1}[event.key];
            if (move) {
                const next = this.cells.children[i + move[0]]?.children[j + move[1]];
                if (next) this.focus(i + move[0], j + move[1]);
            } else if (["Enter", " "].includes(event.key)) {
                this.paint(this.cellAt(i, j), Number(this.brush.value));
            } else if (step) {
                this.paint(this.cellAt(i, j), Math.round((weight + step) * 10) / 10);
            } else {
                return;
            }
            event.preventDefault();
        }

        focus(i, j) {
            this.cellAt(...this.at).tabIndex = -1;
            this.at = [i, j];
            this.cellAt(i, j).tabIndex = 0;
            this.cellAt(i, j).focus();
        }
    }

    here.editor("_grid", Grid);
})();
