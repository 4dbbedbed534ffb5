"""What the account may do: its state, its rate, its slots, its packs."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from airflow_provider_kling.emulator.messages import refusal
from airflow_provider_kling.emulator.settings import ACCOUNT_STATES, Settings
from airflow_provider_kling.emulator.tasks import TaskStore

#: Longest time a pack lasts here, and since when it exists; both only fill fields.
_PACK_DAYS = 90


class Account:
    """The limits of one account. Not locked: its owner is."""

    def __init__(self, settings: Settings, tasks: TaskStore) -> None:
        self._settings = settings
        self._tasks = tasks
        self._recent: deque[float] = deque()
        self._last_costs = float("-inf")

    def check_rate(self, now: float) -> None:
        """Refuse (1302) more requests per second than are allowed."""
        limit = self._settings.requests_per_second
        if limit is None:
            return
        while self._recent and self._recent[0] <= now - max(1.0, 1.0 / limit):
            self._recent.popleft()
        if len(self._recent) >= max(1.0, limit):
            raise refusal(1302)
        self._recent.append(now)

    def check_address(self) -> None:
        """Refuse every call while the caller's address is not on the whitelist."""
        if self._settings.account_state == "ip":
            raise refusal(1304)

    def check_state(self) -> None:
        """Refuse a create while the account is in a state that allows none."""
        code = ACCOUNT_STATES[self._settings.account_state]
        if code:
            raise refusal(code)

    def check_slot(self, model_name: str) -> None:
        """Refuse a create while every slot is taken. Nothing is queued."""
        scope = model_name if self._settings.concurrency_scope == "model" else None
        if self._tasks.running(scope) >= self._settings.concurrency:
            raise refusal(1303)

    def costs(self, now: float) -> dict[str, Any]:
        """Return the resource packs, in the double envelope of ``/account/costs``; at most once a second."""
        if now < self._last_costs + 1:
            raise refusal(1302)
        self._last_costs = now
        total = Decimal(str(self._settings.pack_units))
        left = total - sum((task.deducted for task in self._tasks), Decimal(0))
        start = round((now - 86400) * 1000)
        pack = {
            "resource_pack_name": "Emulator-Video-Pack",
            "resource_pack_id": "emulator-pack-1",
            "resource_pack_type": "decreasing_total",
            "total_quantity": float(total),
            "remaining_quantity": float(max(left, Decimal(0))),
            "purchase_time": start,
            "effective_time": start,
            "invalid_time": start + _PACK_DAYS * 86_400_000,
            "status": "runOut" if left <= 0 else "online",
        }
        return {"code": 0, "msg": "success", "resource_pack_subscribe_infos": [pack]}
