"""From a dataset's folder to rows of videos or clips, and their splits.

Code that knows how datasets name their videos (`layouts`), lists them, keeps or rejects them
(`intake`), cuts (`cutting`) and splits them (`splits`) belongs here, and so does the drawn sample.
Decoding files does not (`video`), nor mixing and storing clips (`mixing`, `store`).
"""
