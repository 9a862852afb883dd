"""What the service is measured beside: FastAPI that gives back the body it got, by uvicorn as it comes."""

from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/echo")
async def echo(request: Request) -> Response:
    """The body."""
    return Response(await request.body(), media_type="application/json")
