import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { followOtherWindows } from "./api/session";
import { CairnApp } from "./app";
import { createRouter } from "./routes";
import "./style/index.css";
import { collectTasks } from "./tasks/store";

collectTasks();
followOtherWindows();
const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <CairnApp router={createRouter()} />
    </StrictMode>,
  );
