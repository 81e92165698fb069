/** The first bundle: the lines of jobs. The others take from it what they share with it. */

export * from "./board";
export * from "./clock";
export * from "./describe";
export * from "./dom";
export * from "./format";
export { nextFrame } from "./frame";
export * from "./job";
export * from "./lazy";
export * from "./protocol";
export * from "./reducer";
export * from "./shapes";
export { isWanted, want } from "./wanted";
export { default } from "./widget";
