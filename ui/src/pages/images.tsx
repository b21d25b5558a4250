import { type ImageInventory, queryImage } from "../api/generated";
import { DateText } from "../components/date-text";
import { NameCell } from "../components/name-cell";
import { byName, byUuid, type ListSpec, ResourceList } from "../components/resource-list";
import { StateTag } from "../components/state-tag";
import { valueName } from "../components/words";
import { useT } from "../i18n";
import { formatBytes } from "../lib/format";

function Media({ image }: { image: ImageInventory }) {
  return <span className="nowrap">{valueName(useT(), "media", image.mediaType)}</span>;
}

const spec: ListSpec<ImageInventory> = {
  id: "images",
  title: "menu.images",
  query: queryImage,
  eventTypes: ["ImageVO"],
  sort: "-createDate",
  search: [byName, byUuid],
  filter: {
    field: "status",
    title: "common.status",
    values: ["Ready", "Downloading", "Creating", "Deleted"],
    hidden: "Deleted",
  },
  columns: [
    { key: "name", title: "common.name", sort: "name", render: (image) => <NameCell of={image} /> },
    {
      key: "status",
      title: "common.status",
      sort: "status",
      render: (image) => <StateTag state={image.status} />,
    },
    {
      key: "state",
      title: "common.state",
      sort: "state",
      render: (image) => <StateTag state={image.state} />,
    },
    { key: "media", title: "image.mediaType", render: (image) => <Media image={image} /> },
    { key: "format", title: "common.format", sort: "format", render: (image) => image.format ?? "–" },
    { key: "platform", title: "common.platform", sort: "platform", render: (image) => image.platform ?? "–" },
    {
      key: "size",
      title: "common.size",
      sort: "size",
      render: (image) => <span className="nowrap">{formatBytes(image.size)}</span>,
    },
    {
      key: "created",
      title: "common.created",
      sort: "createDate",
      wide: true,
      render: (image) => <DateText date={image.createDate} />,
    },
  ],
};

export function ImageListPage() {
  return <ResourceList spec={spec} />;
}
