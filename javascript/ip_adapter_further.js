// Thumbnails of the further pictures below their list: each with its weight, to be moved and taken out.

(function() {
    const here = window.ipAdapter;
    const MOVED = "application/x-ip-adapter-picture";
    const LIMITS = {min: -1, max: 3, step: 0.05};
    const strips = [];

    // null for a text that is no list of numbers.
    function read(text) {
        const numbers = text.split(/[\s,;]+/).filter(Boolean).map(Number);
        return numbers.every(Number.isFinite) ? numbers : null;
    }

    function written(weights) {
        const last = weights.findLastIndex(weight => weight !== 1);
        return weights.slice(0, last + 1).join(" ");
    }

    const moved = (list, from, to) => list.toSpliced(from, 1).toSpliced(to, 0, list[from]);

    class Strip {
        constructor(field, box) {
            this.box = box;
            this.unit = field.id.replace(/_weights$/, "");
            this.field = document.getElementById(`${this.unit}_images`);
            this.list = here.make("div", {class: "ip-adapter-further", role: "list"});
            this.field.after(this.list);
            box.addEventListener("input", () => this.draw());
            this.list.addEventListener("dragover", event => this.carry(event));
            this.list.addEventListener("drop", event => this.drop(event));
            strips.push(this);
            this.draw();
        }

        // Weights count from the reference picture, where there is one.
        get before() {
            const shown = document.getElementById(`${this.unit}_image`)?.querySelector("img");
            const from = document.getElementById(`${this.unit}_reference`)?.querySelector("input")?.value;
            return shown || !["picture", undefined].includes(from) ? 1 : 0;
        }

        draw() {
            if (this.busy) return;
            this.seen = this.box.value;
            this.weights = read(this.seen);
            const files = here.filesIn(this.field), drawn = JSON.stringify([files, this.before, this.weights]);
            if (drawn === this.drawn) return;
            this.drawn = drawn;
            this.show(files);
            const focused = [...this.list.querySelectorAll("input, button")].indexOf(document.activeElement);
            this.list.replaceChildren(...files.map((file, i) => this.thumbnail(file, i, files.length)));
            this.list.querySelectorAll("input, button")[focused]?.focus();
        }

        // The preview has all pictures in it.
        show(files) {
            const shown = files.map(file => file.address).join(" ");
            if (shown !== (this.shown ?? "")) here.view.ask(this.unit);
            this.shown = shown;
        }

        thumbnail({name, address}, i, count) {
            const picture = here.make("img", {src: address, alt: name, title: name, draggable: false});
            const item = here.make("div", {role: "listitem", draggable: true},
                picture, this.weight(i), here.make("div", {},
                    this.button("‹", "Move to the left", i > 0, () => this.move(i, i - 1)),
                    this.button("×", "Take out", true, () => this.arrange(list => list.toSpliced(i, 1))),
                    this.button("›", "Move to the right", i < count - 1, () => this.move(i, i + 1))));
            item.addEventListener("dragstart", event => event.dataTransfer.setData(MOVED, `${this.unit} ${i}`));
            return item;
        }

        weight(i) {
            const number = i + this.before, about = here.translated("Weight of this picture");
            const input = here.make("input", {type: "number", ...LIMITS, title: about, "aria-label": about});
            input.value = this.weights?.[number] ?? 1;
            input.disabled = this.weights === null;
            input.addEventListener("change", () => this.weigh(number, input.value));
            return here.make("label", {}, `${number + 1}`, input);
        }

        button(sign, label, isUsable, press) {
            const about = here.translated(label);
            const button = here.make("button", {type: "button", title: about, "aria-label": about}, sign);
            button.disabled = !isUsable;
            button.addEventListener("click", press);
            return button;
        }

        weigh(number, text) {
            const weights = Array.from({length: Math.max(this.weights.length, number + 1)}, (_, i) => this.weights[i] ?? 1);
            weights[number] = text.trim() ? here.within(Number(text), LIMITS.min, LIMITS.max) : 1;
            here.write(this.box, written(weights));
            this.draw();
        }

        move(from, to) {
            return this.arrange(list => moved(list, from, to));
        }

        // Files and their weights in another order, or fewer of them. The thumbnails stay until that is done.
        async arrange(change) {
            if (this.busy) return;
            this.busy = true;
            await here.change(this.field, () => this.exchange(change));
            this.busy = false;
            this.draw();
        }

        async exchange(change) {
            const files = here.filesIn(this.field), {before, weights} = this;
            const order = change([...files.keys()]);
            await here.putAll(this.field, await Promise.all(order.map(i => here.fetched(files[i].address, files[i].name))));
            if (!weights) return;
            here.write(this.box, written([...weights.slice(0, before), ...order.map(i => weights[before + i] ?? 1)]));
        }

        carry(event) {
            if (event.dataTransfer.types.includes(MOVED)) event.preventDefault();
        }

        drop(event) {
            const [unit, from] = event.dataTransfer.getData(MOVED).split(" ");
            const to = [...this.list.children].indexOf(event.target.closest('[role="listitem"]'));
            if (unit !== this.unit || to < 0) return;
            event.preventDefault();
            event.stopPropagation();
            this.move(Number(from), to);
        }
    }

    here.editor("_weights", Strip);
    here.onPanelUpdate(panel => strips.filter(strip => panel.contains(strip.list)).forEach(strip => strip.draw()));
})();
