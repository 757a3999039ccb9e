"""Every metric by name, unit and label, in one place.

One `Metrics` belongs to one server (tests make their own); any thread may count. No label holds a session's id, a
prompt or anything else that grows without bound or is somebody's secret.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FINE = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.042, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5,
    1.0, 2.0, 5.0,
)  # fmt: skip
_COARSE = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
_LEVELS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0)


class Metrics:
    """The counters, gauges and histograms of one server.

    Stages, in the order of a frame's way: `load` (once), `decode`, `mask`, `queue`, `begin`, `denoise`, `finish`,
    `transfer`, `encode`, `deliver`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.slots = Counter("liveglass_slots", "Output slots handed to transport.", ["kind"], registry=r)
        self.missed = Counter(
            "liveglass_slots_missed",
            "Slots skipped, or handed over later than their deadline and half a slot.",
            ["cause"],
            registry=r,
        )
        self.lateness = Histogram(
            "liveglass_lateness_seconds",
            "Time after the slot's deadline, at the pick and at the hand-off.",
            ["at"],
            buckets=_FINE,
            registry=r,
        )
        self.grid_moved = Counter(
            "liveglass_grid_moved_seconds", "How far grids slid toward their cameras' phase.", registry=r
        )
        self.stage = Histogram(
            "liveglass_stage_seconds", "Time in each stage of a frame.", ["stage"], buckets=_FINE, registry=r
        )
        self.load = Histogram(
            "liveglass_load_seconds",
            "Time from a worker's start to its first frame.",
            buckets=_COARSE,
            registry=r,
        )
        self.age = Histogram(
            "liveglass_age_seconds",
            "Age of the source pictures at the hand-off: what moves, and what was generated.",
            ["of"],
            buckets=_FINE,
            registry=r,
        )
        self.prompt_to_picture = Histogram(
            "liveglass_prompt_to_picture_seconds",
            "From a change of control to the hand-off of its first frame.",
            buckets=_FINE,
            registry=r,
        )
        self.flicker = Histogram(
            "liveglass_flicker_levels",
            "Change of generated pictures where the source stands still, of 255 levels, once a second a session.",
            buckets=_LEVELS,
            registry=r,
        )
        self.warp_error = Histogram(
            "liveglass_warp_error_levels",
            "Change of generated pictures beyond the source's own motion, of 255 levels, once a second a session.",
            buckets=_LEVELS,
            registry=r,
        )
        self.warp_doubt = Histogram(
            "liveglass_warp_doubt",
            "Share of a moved picture whose motion is not understood.",
            buckets=(0.01, 0.05, 0.1, 0.2, 0.4, 0.8),
            registry=r,
        )
        self.generated = Counter("liveglass_frames_generated", "Frames that the model finished.", registry=r)
        self.abandoned = Counter(
            "liveglass_frames_abandoned", "Frames given up between two steps for a newer version.", registry=r
        )
        self.broken = Counter("liveglass_frames_broken", "Frames that failed inspection.", ["cause"], registry=r)
        self.late = Counter(
            "liveglass_frames_late",
            "Generated frames that a newer one overtook before their slot.",
            registry=r,
        )
        self.replaced = Counter("liveglass_inputs_replaced", "Unread inputs that gave way to newer ones.", registry=r)
        self.still = Counter(
            "liveglass_sources_still", "Source pictures that needed no frame, being like the one before.", registry=r
        )
        self.dropped = Counter("liveglass_frames_dropped", "Frames not sent to one slow viewer.", registry=r)
        self.refused_camera = Counter(
            "liveglass_camera_frames_refused",
            "Frames with camera pixels that the session's camera_visible held back.",
            registry=r,
        )
        self.encoded = Counter("liveglass_frames_encoded", "Pictures encoded, by format.", ["format"], registry=r)
        self.encoded_bytes = Counter("liveglass_encoded_bytes", "Bytes encoded, by format.", ["format"], registry=r)
        self.sessions = Gauge("liveglass_sessions", "Sessions open, by admission.", ["admission"], registry=r)
        self.viewers = Gauge("liveglass_viewers", "Connected viewers.", registry=r)
        self.peers = Gauge("liveglass_peers", "WebRTC peers, connected or connecting.", registry=r)
        self.rendition_changes = Counter(
            "liveglass_rendition_changes", "Viewers moved to another rendition.", ["to"], registry=r
        )
        self.worker_up = Gauge("liveglass_worker_up", "1 while a worker is ready to generate.", registry=r)
        self.spare_up = Gauge("liveglass_spare_up", "1 while a spare worker is loaded and warm.", registry=r)
        self.worker_restarts = Counter(
            "liveglass_worker_restarts", "Workers replaced, by cause.", ["cause"], registry=r
        )
        self.quality_moves = Counter(
            "liveglass_quality_moves", "Moves of quality ladders, down and up.", ["direction"], registry=r
        )
        self.forecast = Gauge(
            "liveglass_forecast_fps", "New frames a second that every session is predicted to get.", registry=r
        )
        self.forecast_error = Histogram(
            "liveglass_forecast_error_ratio",
            "What a session gets over what was predicted, less 1; every ten seconds a session.",
            buckets=(-0.5, -0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
            registry=r,
        )
        self.session_cores = Gauge(
            "liveglass_session_cores", "What the server's own stages take for one session, in cores.", registry=r
        )
        self.capacity = Gauge(
            "liveglass_capacity_fps", "Frames a second that this machine generated at start.", registry=r
        )
        self.errors = Counter("liveglass_errors", "Errors told to clients, by code.", ["code"], registry=r)
        self.loop_lag = Histogram(
            "liveglass_event_loop_lag_seconds",
            "How late the event loop runs a timer.",
            buckets=_FINE,
            registry=r,
        )
        for kind in ("generated", "warped", "blended", "repeated", "standby"):
            self.slots.labels(kind)
        for cause in ("late", "skipped"):
            self.missed.labels(cause)
        for admission in ("admitted", "queued"):
            self.sessions.labels(admission)

    def text(self) -> bytes:
        """The Prometheus text format."""
        return bytes(generate_latest(self.registry))
