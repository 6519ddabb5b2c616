"""From labelled clips of new people to a calibrated model: `framemix calibrate`.

The choice of a temperature and of the alarm's threshold belongs here. How an alarm starts and ends
does not (`inference`), nor what the model's file holds of it (`models`).
"""
