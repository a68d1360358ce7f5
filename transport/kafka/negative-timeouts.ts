/**
 * The library's request queue asks for a negative delay now and then, which Node takes for 1 ms and warns of once. No
 * other warning is kept back. It holds from the first import on.
 */
const warn = process.emitWarning.bind(process) as (...said: unknown[]) => void;
process.emitWarning = (...said: unknown[]): void => {
  const [, type] = said;
  const name =
    typeof type === "object" && type !== null && "type" in type
      ? type.type
      : type;
  if (name !== "TimeoutNegativeWarning") warn(...said);
};
