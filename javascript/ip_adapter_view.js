// Keeps the view of what the encoder sees true to its unit: gradio drops what is asked while it makes one.

(function() {
    const here = window.ipAdapter;
    const changes = {}, sent = {};  // unit -> how many there have been, and how many the server knows of
    const sketched = {};  // unit -> whether there was a picture in its sketch when it was asked for last

    const hasSketch = unit => document.querySelector(`#${unit}_image_mask img`) !== null;

    function press(unit) {
        document.getElementById(`${unit}_view_again`)?.click();
    }

    here.view = {
        // After the event that announces a change; of several at once the last one counts.
        ask(unit) {
            sketched[unit] = hasSketch(unit);
            const now = changes[unit] = (changes[unit] ?? 0) + 1;
            setTimeout(() => changes[unit] === now && press(unit));
        },

        // As the values of a unit go to the server.
        send(unit) {
            sent[unit] = changes[unit];
        },

        // When the answer is there, or none has come.
        end(unit) {
            if (sent[unit] !== changes[unit]) press(unit);
        },
    };

    // A sketch of gradio 3 says that it has been drawn on, but not that its picture is taken away.
    here.onPanelUpdate(function() {
        Object.keys(sketched).filter(unit => sketched[unit] && !hasSketch(unit)).forEach(unit => here.view.ask(unit));
    });
})();
