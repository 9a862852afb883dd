"""The pages of the service: a patient's twin, all patients of the store, teaching, and the way in.

``frame`` is what all pages share, ``words`` the sentences for reasons, ``card`` the model card; one module for each
page. The scripts in ``static`` are modules of their own: no library, no build step, nothing from another host.
"""

from fastapi import APIRouter

from neurotwin.service.pages.assets import router as _assets
from neurotwin.service.pages.login import router as _login
from neurotwin.service.pages.patient import router as _patient
from neurotwin.service.pages.population import router as _population
from neurotwin.service.pages.teach import router as _teach

router = APIRouter(include_in_schema=False)
for _page in (_assets, _login, _patient, _population, _teach):
    router.include_router(_page)

__all__ = ["router"]
