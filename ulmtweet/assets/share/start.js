// The same program is the page and, read from a blob, its workers.

if (typeof document === "undefined") startWorker(self); else startPage();
