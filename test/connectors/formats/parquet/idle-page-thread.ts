/** A thread that does nothing, and does not end. */
setInterval(() => {}, 60_000);
