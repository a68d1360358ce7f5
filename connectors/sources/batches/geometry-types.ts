/** MySQL's and MariaDB's names of spatial types, whose values are WKB behind four bytes of SRID. */
export const geometryTypes: ReadonlySet<string> = new Set([
  "geometry",
  "point",
  "linestring",
  "polygon",
  "multipoint",
  "multilinestring",
  "multipolygon",
  "geometrycollection",
  "geomcollection",
]);
