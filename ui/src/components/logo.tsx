/** The cairn: four stones. */
export function Logo({ size }: { size: number }) {
  return <img src="/cairn.svg" width={size} height={size} alt="" />;
}
