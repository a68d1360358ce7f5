export function startWriter(): void {}
