"""Make and edit an image on Azure OpenAI.

Needs AZURE_API_KEY, AZURE_API_BASE (https://YOUR-RESOURCE.openai.azure.com) and, where your
deployment is not called gpt-image-2, AZURE_DEPLOYMENT.
"""

import os

from imagegate import image_edit, image_generation

MODEL = "azure/" + os.environ.get("AZURE_DEPLOYMENT", "gpt-image-2")

made = image_generation(
    "a lighthouse on a cliff, watercolour", model=MODEL, size="1024x1024", quality="low"
)
path = made.images[0].save("lighthouse.png")
print(path, "cost", made.cost_usd, "USD")

edited = image_edit(path, "make it a stormy night", model=MODEL, quality="low")
print(edited.images[0].save("storm.png"), "cost", edited.cost_usd, "USD")
for adjustment in made.adjustments + edited.adjustments:
    print("adjusted:", adjustment.param, adjustment.asked, "->", adjustment.sent)
