export { MockCloud, type MockRequest, Refusal } from "./cloud";
export { MOCK_ACCOUNT } from "./read-handlers";
