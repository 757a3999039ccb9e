/**
 * The words of the wire as types: what the server says, and the body of a session. Nothing here runs.
 *
 * @typedef {"queued"|"warming"|"ready"|"live"|"paused"|"degraded"|"standby"|"panic"|"reconnecting"|"closed"} StateName
 *
 * @typedef {object} SessionState
 * @property {StateName} state
 * @property {string} [cause]  why, wherever it is neither `ready` nor `live`
 * @property {number} [position]  place in the queue, from 1
 * @property {string} [stage]  of warming: loading, compiling, first frame
 * @property {number} [estimate_s]  an estimate, in seconds
 *
 * @typedef {{text: string, weight: number}} Prompt
 *
 * @typedef {object} Params
 * @property {number} strength  0 to 1
 * @property {number} steps
 * @property {number} seed
 * @property {number} [guidance]
 * @property {number} [edge]
 * @property {number} [depth]
 * @property {string} [policy]
 * @property {number} [blend_ms]
 * @property {number} [similarity]  0 to 1; a source at least so like the last one used is not generated
 *
 * @typedef {{version: number, prompts: Prompt[], negative?: string, params: Params, apply?: string}} Control
 *
 * @typedef {object} Hello
 * @property {number} protocol
 * @property {string} session
 * @property {string} role
 * @property {StateName | SessionState} state
 * @property {Control} control
 * @property {number} server_time
 * @property {number} fps
 * @property {number} slot
 * @property {{width: number, height: number}} size
 * @property {Record<string, unknown>} [limits]
 * @property {string[]} [applies]  what `apply` may be here
 *
 * @typedef {{p50: number, p95: number, p99: number}} Percentiles  milliseconds
 *
 * @typedef {object} Stats
 * @property {number} out_fps
 * @property {number} generated_fps  slots a second whose base was shown for the first time
 * @property {number | Record<string, number>} standin_fps
 * @property {number} missed
 * @property {number} replaced
 * @property {number} dropped
 * @property {Record<string, Percentiles>} latency
 * @property {Percentiles | null} motion_age
 * @property {Percentiles | null} content_age
 * @property {number | null} [flicker]  change where the source stands still, in levels of 255
 * @property {number | null} [warp_error]  change beyond the source's own motion, in levels of 255
 * @property {number} [still]  sources that needed no frame, since the session opened
 *
 * @typedef {{id: string, version: number, effective: Record<string, unknown>, notes?: string[]}} Accepted
 * @typedef {{version: number, slot: number, latency_ms: number}} Applied
 * @typedef {{rung: number, of: number, gave_up: string[], cause: string}} Quality
 *
 * @typedef {object} FrameMeta  what the socket's header says, told beside a picture over WebRTC
 * @property {number} slot
 * @property {string} kind  as a word
 * @property {number} version
 * @property {number} progress
 * @property {number | null} src_rtp  the publisher's own time stamp of the newest camera picture in this one
 * @property {number | null} base_rtp  the same of the one that the generated base was made from
 * @property {number | null} generated_ms
 * @property {number | null} age_ms  from `base_rtp`'s picture to `src_rtp`'s
 * @property {number} pts
 * @property {boolean} camera  whether camera pixels are in it
 *
 * @typedef {object} SessionBody  what opening a session answers
 * @property {string} id
 * @property {StateName} state
 * @property {Control} control
 * @property {string} token
 * @property {string} viewer_token
 * @property {Record<string, string>} urls
 * @property {RTCIceServer[]} [ice_servers]
 * @property {{state: string, position: number}} [admission]
 *
 * @typedef {object} SessionView  what a session answers about itself
 * @property {string} role
 * @property {Record<string, string>} urls
 * @property {RTCIceServer[]} [ice_servers]
 *
 * @typedef {object} Swap  another model under the running session
 * @property {string} model  the one that comes
 * @property {"warming" | "ready" | "failed"} state
 * @property {string} [stage]  of warming
 * @property {string} [cause]  of having failed
 *
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {string} licence
 * @property {boolean} resident
 * @property {number[]} valid_steps
 * @property {number} default_steps
 * @property {string} guidance
 * @property {boolean} negative
 * @property {string} strength  what strength means with this model, as a sentence
 * @property {Record<string, boolean>} controls
 * @property {Record<string, unknown>} vocabulary  lists of words by kind, and what else the model tells of its words
 * @property {Look[]} looks
 * @property {{p50_ms: number, p95_ms: number} | null} measured
 *
 * @typedef {{name: string, prompt: string, strength?: number, apply?: string | null}} Look  `apply`: null leaves it as it is
 *
 * @typedef {{type: string, [field: string]: any}} WireEvent
 */

export {};
