// What the server cannot read, as SVG and HEIC, becomes a PNG file on its way, if the browser can show it.

(function() {
    const here = window.ipAdapter;
    const UNREADABLE = "This picture cannot be read; save it as PNG or JPEG, and give that file.";
    const USUAL = 512;  // pixels of a drawing that does not say how large it is

    // How files begin that both read: PNG, JPEG, GIF, BMP, WebP. A name may say another thing than is in a file.
    const COMMON = [/^\x89PNG/, /^\xff\xd8\xff/, /^GIF8/, /^BM/, /^RIFF.{4}WEBP/s];
    // What few browsers show: good for a picture, but nobody could draw over it.
    const TIFF = [/^II\*\0/, /^MM\0\*/];

    async function isReadable(file, field) {
        const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
        const known = field.id.endsWith("mask") ? COMMON : [...COMMON, ...TIFF];
        return known.some(form => form.test(start));
    }

    async function drawn(file) {
        const image = new Image();
        image.src = URL.createObjectURL(file);
        try {
            await image.decode();
            const size = {width: image.naturalWidth || USUAL, height: image.naturalHeight || USUAL};
            const canvas = here.make("canvas", size);
            canvas.getContext("2d").drawImage(image, 0, 0, size.width, size.height);
            return await here.png(canvas, `${file.name.replace(/\.[^.]*$/, "")}.png`);
        } catch (error) {
            throw Object.assign(error, {sentence: UNREADABLE});
        } finally {
            URL.revokeObjectURL(image.src);
        }
    }

    // What is handed to `field` in place of `files`. All of them, or an error that says why none.
    here.readable = (field, files) => Promise.all(
        files.map(async file => await isReadable(file, field) ? file : drawn(file)));
})();
